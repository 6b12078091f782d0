"""One exchange through ccxt: made, asked and watched, so that nothing wrong comes out.

The rules:

1. Amounts are strings all the way: ccxt is told to make no floats of them, and what it decodes
   keeps each fraction as the exchange spelled it.
2. ccxt keeps the exchange's rate limit itself. Where the exchange says all the same that it was too
   much, nothing more is asked until the time that it names, by whichever part.
3. An answer that is no JSON is a failure. ccxt takes it for an empty one, of which follows that
   every position was closed.
4. Whatever ccxt raises is a SourceError, without secrets and without the URLs that hold them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from producers.errors import SourceBusy, SourceError
from producers.pauses import retry_after
from producers.sources.credentials import read_secret, without_secrets

BUSY_SECONDS: Final = 10.0
"""How long to wait after a rate limit, where the exchange does not say."""
CALL_SECONDS: Final = 60.0
"""The longest that one call may take with its turn in the queue of ccxt's rate limit."""
RELOAD_SECONDS: Final = 60.0
"""Between two readings of the markets, which are megabytes."""
MIN_SECRET: Final = 6
"""Shorter ones would be found in numbers."""

_TYPES: Final = ("spot", "swap", "future", "option")
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


class BadExchange(Exception):
    """An exchange that can't be used like this; the text says why."""


class Refused(SourceError):
    """The exchange has answered, and will not say what it was asked for."""


def variable_of(prefix: str, credential: str) -> str:
    """The variable that holds a credential, such as `CCXT_API_KEY` for `apiKey`."""
    return f"{prefix}_{_CAPITAL.sub('_', credential).upper()}"


class Exchange:
    """How to reach one exchange.

    id: ccxt's name of it. environ, prefix: where its credentials are. constructor: what else ccxt's
    own takes, of URLs, proxies and the exchange's options. timeout: seconds that one answer may
    take.

    Raises BadExchange, and BadSettings for credentials that can't be read.
    """

    def __init__(
        self,
        id: str,
        *,
        environ: Mapping[str, str],
        prefix: str = "CCXT",
        type: str | None = None,
        sandbox: bool = False,
        demo: bool = False,
        timeout: float = 10.0,
        constructor: Mapping[str, Any] | None = None,
    ) -> None:
        import ccxt.pro

        if id not in ccxt.exchanges:
            near = [each for each in ccxt.exchanges if id in each or each in id]
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise BadExchange(f"ccxt has no exchange {id!r}.{hint}")
        self.id = id
        self._sandbox, self._demo = sandbox, demo
        # Those that ccxt can watch nothing at have no class there.
        self._class = getattr(ccxt.pro if id in ccxt.pro.exchanges else ccxt.async_support, id)
        self._given = dict(constructor or {})
        self._timeout = timeout
        self._type = type
        self._credentials = self._read_credentials(environ, prefix)
        self._busy_until = 0.0
        self._reload_at = 0.0
        self.ccxt: Any = self._make()
        """The exchange, whose `has` and `options` can be looked at."""
        if self.ccxt.has.get(type) is False:
            offered = ", ".join(each for each in _TYPES if self.ccxt.has.get(each))
            raise BadExchange(f"{id} has no {type} that ccxt knows, but {offered}")
        try:
            self.ccxt.check_required_credentials()
        except ccxt.AuthenticationError as error:
            names = ", ".join(
                variable_of(prefix, name)
                for name, is_ in self.ccxt.requiredCredentials.items()
                if is_
            )
            raise BadExchange(f"expected the credentials of {id} in {names}: {error}") from None

    @property
    def is_paper(self) -> bool:
        """Whether no money is at stake: the exchange's sandbox, or its demo trading."""
        return self._sandbox or self._demo

    @property
    def type(self) -> str:
        """What is traded: spot, margin, swap, future or option."""
        if self._type is not None:
            return self._type
        offered = [each for each in _TYPES if self.ccxt.has.get(each)]
        default = str(self.ccxt.options.get("defaultType") or "spot")
        # ccxt's default is spot at some that have derivatives alone.
        return default if default in offered or not offered else offered[0]

    def has(self, method: str) -> bool:
        """Whether the exchange offers a method of ccxt's, `watch_balance` for instance."""
        head, *rest = method.split("_")
        return bool(self.ccxt.has.get(head + "".join(word.capitalize() for word in rest)))

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """The exchange with its markets known, so that it can be asked."""
        self.ccxt = self._make()
        try:
            await self.call("load_markets")
            yield
        finally:
            await self.ccxt.close()

    async def reload_markets(self) -> None:
        """Read the markets again, unless that was done just now: exchanges list new ones."""
        now = asyncio.get_running_loop().time()
        if now >= self._reload_at:
            self._reload_at = now + RELOAD_SECONDS
            await self.call("load_markets", True)

    @property
    def markets(self) -> Mapping[str, Any]:
        """The exchange's markets, by symbol."""
        return self.ccxt.markets or {}

    async def call(self, method: str, *arguments: Any) -> Any:
        """What a method of ccxt answers; raises SourceError."""
        self._check_busy()
        return await self.watch(method, *arguments, seconds=CALL_SECONDS)

    async def watch(self, method: str, *arguments: Any, seconds: float | None = None) -> Any:
        """The same of a method that waits for something to happen."""
        try:
            async with asyncio.timeout(seconds):
                return await getattr(self.ccxt, method)(*arguments)
        except TimeoutError:
            raise SourceError(f"{method}: no answer within {seconds} s") from None
        except SourceError:
            raise
        # ccxt raises its own errors, and any other at an answer that it does not expect.
        except Exception as error:
            raise self._failure(method, error) from None

    def _check_busy(self) -> None:
        seconds = self._busy_until - asyncio.get_running_loop().time()
        if seconds > 0:
            raise SourceBusy(f"{self.id} asked for {seconds:.0f} s without requests", seconds)

    def shown(self, text: str) -> str:
        """What may be shown of what the exchange or ccxt says."""
        secrets = (each for each in self._credentials.values() if len(each) >= MIN_SECRET)
        return without_secrets(text, secrets)

    def _failure(self, method: str, error: Exception) -> SourceError:
        import ccxt

        text = self.shown(f"{method}: {type(error).__name__}: {error}")
        if isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded):
            headers = self.ccxt.last_response_headers or {}
            named = {name.lower(): value for name, value in headers.items()}
            seconds = retry_after(named.get("retry-after"), BUSY_SECONDS)
            self._busy_until = asyncio.get_running_loop().time() + seconds
            return SourceBusy(text, seconds)
        # Of a link that broke ccxt makes an ExchangeError too, but has what it was made of.
        is_answer = isinstance(error, ccxt.ExchangeError) and error.__cause__ is None
        is_of_the_key = isinstance(error, ccxt.AuthenticationError)
        if is_answer and (not is_of_the_key or isinstance(error, ccxt.PermissionDenied)):
            return Refused(text)
        return SourceError(text)

    def _make(self) -> Any:
        import ccxt

        made = self._class(
            {**self._given, **self._credentials, "enableRateLimit": True,
             "timeout": round(1000 * self._timeout)}
        )  # fmt: skip
        made.number = str
        made.on_json_response = _exact_json
        # What is watched only rings. ccxt would read all of it besides for its first answer, and
        # compare amounts that are strings with numbers: at some exchanges nothing would ever come.
        for what in ("Balance", "Positions"):
            own = made.options.get(f"watch{what}") or {}
            alone = {f"fetch{what}Snapshot": False, f"await{what}Snapshot": False}
            made.options[f"watch{what}"] = {**own, **alone}
        # Below that it tells of each request with its headers, key and signature among them.
        made.logger.setLevel(logging.INFO)
        if self._type is not None:
            made.options["defaultType"] = self._type
        try:
            if self._sandbox:
                made.set_sandbox_mode(True)
            if self._demo:
                made.enable_demo_trading(True)
        except (AttributeError, KeyError, TypeError, ccxt.NotSupported) as error:
            what = "demo trading" if self._demo else "sandbox"
            raise BadExchange(f"{self.id} has no {what} that ccxt knows: {error}") from None
        fetch = made.fetch

        async def fetch_json(url: str, *arguments: Any, **options: Any) -> Any:
            # Again, since it may have waited for its turn meanwhile.
            self._check_busy()
            answer = await fetch(url, *arguments, **options)
            if not isinstance(answer, dict | list):
                raise ccxt.BadResponse(f"{self.id} {url} answered no JSON: {str(answer)[:80]!r}")
            return answer

        made.fetch = fetch_json
        return made

    def _read_credentials(self, environ: Mapping[str, str], prefix: str) -> dict[str, str]:
        names = list(self._class.requiredCredentials) + list(self._class().requiredCredentials)
        for name in names:
            if name in self._given:
                raise BadExchange(
                    f"{name} does not belong into a file that is shared and kept: "
                    f"set {variable_of(prefix, name)} in the environment"
                )
        found = {name: read_secret(environ, variable_of(prefix, name)) for name in names}
        return {name: value for name, value in found.items() if value is not None}


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"expected a finite number, got {text}")


# ccxt's own makes floats, and of their digits keeps 17.
_exact_json: Final = functools.partial(json.loads, parse_float=str, parse_constant=_no_number)
