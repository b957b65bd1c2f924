// The icons of the page, on a grid of 24 by 24.

import { picture } from "./element.js";

const PATHS = {
  like: ["M12 20s-7-4.4-8.7-8.6A4.8 4.8 0 0 1 12 7.2a4.8 4.8 0 0 1 8.7 4.2C19 15.6 12 20 12 20z"],
  share: ["M4 13v6a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-6", "M12 15V4", "M8 8l4-4 4 4"],
  skip: ["M6 5l9 7-9 7z", "M18 5v14"],
  hide: [
    "M4 4l16 16",
    "M10.3 6.2A9.5 9.5 0 0 1 12 6c5 0 8.3 4 9.3 6a14 14 0 0 1-2.6 3.4",
    "M6.4 7.7A14 14 0 0 0 2.7 12c1 2 4.3 6 9.3 6a9.4 9.4 0 0 0 4-.9",
  ],
  accept: ["M5 12.5l4.5 4.5L19 7.5"],
  reject: ["M6.5 6.5l11 11", "M17.5 6.5l-11 11"],
  why: ["M5 20V11", "M12 20V4", "M19 20v-6"],
  send: ["M4 12l16-8-6 16-3-6.5z"],
  close: ["M6 6l12 12", "M18 6L6 18"],
};

export function icon(name) {
  return picture(
    "svg",
    { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" },
    ...PATHS[name].map((d) => picture("path", { d })),
  );
}
