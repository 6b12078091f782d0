import type { MouseEvent } from "react";

/**
 * The first click of several: a double click on one button must not press the next one, that came
 * up in its place.
 */
export function once(act: () => void): (event: MouseEvent) => void {
  return (event) => {
    if (event.detail < 2) act();
  };
}
