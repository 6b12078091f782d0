import { type RefObject, useInsertionEffect, useRef } from "react";

/** The newest `value`, for what is called later: whoever reads it never needs to be made anew. */
export function useLatest<T>(value: T): RefObject<T> {
  const latest = useRef(value);
  useInsertionEffect(() => {
    latest.current = value;
  });
  return latest;
}
