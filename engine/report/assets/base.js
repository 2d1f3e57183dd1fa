"use strict";
/* What the scripts of all pages use. */
const at = id => document.getElementById(id);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const count = n => n == null ? "–" : Math.round(n).toLocaleString("en-US");
function number(x) {
  if (x == null || !isFinite(x)) return "–";
  const size = Math.abs(x);
  return size >= 1e5 || (size > 0 && size < 5e-4) ? x.toExponential(3) : x.toFixed(size >= 1000 ? 1 : 4);
}
const percent = x => x == null || !isFinite(x) ? "–" : (100 * x).toFixed(1) + " %";
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes))
    k in made && typeof v !== "string" ? made[k] = v : made.setAttribute(k, v);
  made.append(...children.filter(c => c != null));
  return made;
}
