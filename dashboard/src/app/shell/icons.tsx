import type { ReactNode } from "react";

function Icon({ children }: { readonly children: ReactNode }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor">
      {children}
    </svg>
  );
}

export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" className="mark-ground" />
      <path d="M6 20.5h4l3-9 5 13 4-10 1.6 3.5H26" className="mark-line" fill="none" />
    </svg>
  );
}

export const Moon = () => (
  <Icon>
    <path d="M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5Z" />
  </Icon>
);

export const Sun = () => (
  <Icon>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 2v3m0 14v3M2 12h3m14 0h3M5 5l2 2m10 10 2 2M19 5l-2 2M7 17l-2 2" />
  </Icon>
);

export const Half = () => (
  <Icon>
    <circle cx="12" cy="12" r="8.5" />
    <path d="M12 3.5v17a8.5 8.5 0 0 0 0-17Z" fill="currentColor" />
  </Icon>
);

export const Bell = () => (
  <Icon>
    <path d="M6 16V11a6 6 0 1 1 12 0v5l1.5 2h-15L6 16Zm4 4a2 2 0 0 0 4 0" />
  </Icon>
);

export const BellOff = () => (
  <Icon>
    <path d="M6 16V11a6 6 0 0 1 9-5.2M18 11v5l1.5 2h-13M10 20a2 2 0 0 0 4 0M4 4l16 16" />
  </Icon>
);

export const BellAway = () => (
  <Icon>
    <path d="M3 6a2 2 0 0 1 2-2h8M3 6v11a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2v-3M3 9h8" />
    <path d="M15 8V6.5a3 3 0 0 1 6 0V8l1 2h-8l1-2Zm2 4h2" />
  </Icon>
);

export const Octagon = () => (
  <Icon>
    <path d="M8 3h8l5 5v8l-5 5H8l-5-5V8l5-5Zm1 9h6" />
  </Icon>
);

export const Leave = () => (
  <Icon>
    <path d="M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9" />
  </Icon>
);
