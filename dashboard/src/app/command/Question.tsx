import { type ReactNode, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import type { Attempt, Commands } from "../../react/index.ts";
import { readPosition } from "../data/payloads.ts";
import { useSeat, useSelected } from "../session/context.ts";
import { Amount } from "../shell/Amount.tsx";
import { Badge } from "../shell/Badge.tsx";
import { ModeBadge } from "../shell/ModeBadge.tsx";
import { Age } from "../shell/Panel.tsx";
import { once } from "./press.ts";
import { caution, type Situation, whyNot } from "./situation.ts";
import { type Asked, confirmOf, consequenceOf, dataOf, progressOf, questionOf } from "./words.ts";

/** Until when a press is taken for one that was meant for what stood there before. */
const SETTLES_MS = 400;
/** How long an emergency stop is tried, and may be begun. */
const EMERGENCY_MS = 60_000;

export interface QuestionProps {
  readonly asked: Asked;
  readonly situation: Situation;
  readonly attempts: readonly Attempt[];
  readonly send: Commands["send"];
  readonly close: () => void;
}

/**
 * Asks before a command is sent, with what there is now. It stays until the hub has the command,
 * and where it does not, says what is known of that.
 */
export function Question({ asked, situation, attempts, send, close }: QuestionProps) {
  const ids = { title: useId(), words: useId() };
  const [sent, setSent] = useState<Attempt | null>(null);
  const isSent = useRef(false);
  const isSettled = useElapsed(SETTLES_MS);
  const attempt = attempts.find(({ n }) => n === sent?.n) ?? null;
  const isEmergency = asked.event === "emergency.stop";
  const why = useWhyNot(asked, situation);
  const confirm = () => {
    // Not the state, which a second press may come before.
    if (why !== null || !isSettled || isSent.current) return;
    isSent.current = true;
    const options = isEmergency ? { expiresInMs: EMERGENCY_MS } : {};
    setSent(send(asked.event, dataOf(asked), options));
  };
  const isTaken = attempt !== null && attempt.id !== null;
  useEffect(() => {
    if (isTaken) close();
  }, [isTaken, close]);
  return (
    <Modal labelledBy={ids.title} describedBy={ids.words} isEmergency={isEmergency} close={close}>
      <h2 id={ids.title}>{questionOf(asked, situation)}</h2>
      <p id={ids.words}>{consequenceOf(asked, situation)}</p>
      <Facts asked={asked} situation={situation} />
      <p className="warning" role="alert">
        {attempt === null && (isEmergency ? caution(situation) : why)}
        {attempt !== null && progressOf(attempt, situation.connection)}
      </p>
      <div className="answers">
        {/* The least that can happen is at hand first: a second press of Enter does no harm. */}
        <button type="button" className="quiet" onClick={once(close)}>
          {attempt === null ? "Cancel" : "Back"}
        </button>
        {(attempt === null || attempt.state === "sending") && (
          <button
            type="button"
            className={isEmergency ? "emergency" : "strong"}
            aria-disabled={why !== null || !isSettled || attempt !== null}
            onClick={once(confirm)}
          >
            {attempt === null ? confirmOf(asked, situation) : "Sending …"}
          </button>
        )}
      </div>
    </Modal>
  );
}

/** Whether the component has been there for so long. */
function useElapsed(milliseconds: number): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setOver(true), milliseconds);
    return () => clearTimeout(timer);
  }, [milliseconds]);
  return isOver;
}

/** Why it can't be confirmed: what was asked for may not be there any more. */
function useWhyNot(asked: Asked, situation: Situation): string | null {
  const { positions } = useSeat().ledger.account;
  const isThere = useSelected(positions, ({ rows }) =>
    asked.event === "position.close" ? rows.has(asked.id) : true,
  );
  const why = whyNot(asked.event, situation);
  return why ?? (isThere ? null : "The position is not open any more.");
}

interface ModalProps {
  readonly labelledBy: string;
  readonly describedBy: string;
  readonly isEmergency: boolean;
  readonly close: () => void;
  readonly children: ReactNode;
}

/** A dialog of the browser's own: the focus stays within, and returns to where it was. */
function Modal({ labelledBy, describedBy, isEmergency, close, children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const isShown = useRef(false);
  useLayoutEffect(() => {
    const shown = dialog.current as HTMLDialogElement;
    isShown.current = true;
    shown.showModal();
    return () => {
      isShown.current = false;
      shown.close();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className="question"
      role={isEmergency ? "alertdialog" : undefined}
      aria-labelledby={labelledBy}
      aria-describedby={describedBy}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClose={(event) => {
        // By the browser, which lets nobody hold a dialog open for good.
        if (isShown.current && !event.currentTarget.open) close();
      }}
    >
      {children}
    </dialog>
  );
}

/** Whom it is about, and what there is at this moment. */
function Facts({ asked, situation }: Pick<QuestionProps, "asked" | "situation">) {
  const { status, positions } = useSeat().ledger.account;
  const isClosing = asked.event === "position.close";
  return (
    <dl className="facts-now">
      <Fact name="Agent">{situation.agent || "without a name"}</Fact>
      <Fact name="Money">
        <ModeBadge />
      </Fact>
      {isClosing ? (
        <PositionFacts id={asked.id} />
      ) : (
        <>
          <Fact name="State">
            {situation.state === null ? "not known" : <Badge word={situation.state} />}
          </Fact>
          <Fact name="Open positions">{situation.positions ?? "not known"}</Fact>
        </>
      )}
      <Fact name="Numbers">
        <Age channel={isClosing ? positions : status} />
      </Fact>
    </dl>
  );
}

function PositionFacts({ id }: { readonly id: string }) {
  const { positions } = useSeat().ledger.account;
  const row = useSelected(positions, ({ rows }) => rows.get(id));
  if (row === undefined) return null;
  const { side, size, price, pnl } = readPosition(row);
  return (
    <>
      <Fact name="Side">
        <Badge word={side} />
      </Fact>
      <Fact name="Size">
        <Amount text={size} />
      </Fact>
      <Fact name="Price">
        <Amount text={price} />
      </Fact>
      <Fact name="P&L">
        <Amount text={pnl} places={2} signed toned />
      </Fact>
    </>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
