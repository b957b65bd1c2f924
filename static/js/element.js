// Creates elements. Text becomes text nodes only, so that the browser never parses users' text as markup.

const SVG = "http://www.w3.org/2000/svg";

/** Creates an element; children that are not nodes become text, and `null` or `false` are skipped. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Creates an SVG element. */
export function picture(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Sets text only if it differs, which spares screen readers and work. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A hue for a name, computed from its hash. */
export function hueOf(name) {
  let hash = 2166136261;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 16777619);
  // The last letters alone would change only the lowest bits of the hash.
  hash = Math.imul(hash ^ (hash >>> 15), 2246822519);
  return ((hash ^ (hash >>> 13)) >>> 0) % 360;
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    // Sets styles through the object model: the content security policy forbids style attributes.
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== false && child !== undefined));
  return node;
}
