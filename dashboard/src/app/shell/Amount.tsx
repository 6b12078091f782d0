import { memo, useEffect, useRef } from "react";
import { compare, signOf } from "../money/decimal.ts";
import { type Style, showDecimal } from "../money/format.ts";
import { flash } from "./flash.ts";

export interface AmountProps extends Style {
  /** Decimal text; null where it is not known. */
  readonly text: string | null;
  /** Say gain and loss by colour too. */
  readonly toned?: boolean;
  /** Light up when it changes. */
  readonly flashing?: boolean;
  readonly suffix?: string;
}

/** A decimal as it was sent: grouped, and with the digits beyond its places smaller. */
export const Amount = memo(function Amount(props: AmountProps) {
  const { text, toned = false, flashing = false, suffix = "", ...style } = props;
  const element = useRef<HTMLSpanElement>(null);
  const before = useRef(text);
  useEffect(() => {
    const was = before.current;
    before.current = text;
    if (!flashing || was === null || text === null || was === text) return;
    if (element.current) flash(element.current, compare(text, was) > 0 ? "up" : "down");
  }, [text, flashing]);
  if (text === null) return <span className="amount unknown">–</span>;
  const { main, rest } = showDecimal(text, style);
  const tone = toned ? ["loss", "", "gain"][signOf(text) + 1] : "";
  return (
    <span ref={element} className={`amount ${tone}`}>
      {main}
      {rest && <small>{rest}</small>}
      {suffix}
    </span>
  );
});
