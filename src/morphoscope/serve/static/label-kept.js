// What stays in the browser. Where it keeps nothing (private windows, full disks), this page's memory does.

const memory = new Map();

function tried(doing, instead) {
  try {
    return doing();
  } catch {
    return instead();
  }
}

/** Whether what is kept outlives this page. */
export const lasting = () => memory.size === 0;

export function read(name) {
  const text = memory.get(name) ?? tried(() => localStorage.getItem(name), () => null);
  return text === null ? null : tried(() => JSON.parse(text), () => null);
}

export function keep(name, value) {
  const text = JSON.stringify(value);
  tried(() => {
    localStorage.setItem(name, text);
    memory.delete(name);
  }, () => memory.set(name, text));
}

export function forget(name) {
  memory.delete(name);
  tried(() => localStorage.removeItem(name), () => null);
}

export function names(prefix) {
  const stored = tried(() => Object.keys(localStorage), () => []);
  return [...new Set([...stored, ...memory.keys()])].filter((name) => name.startsWith(prefix));
}
