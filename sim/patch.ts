/**
 * Changing real code from outside, for a while: production code has no hooks for the simulator. `patchMethod` is typed;
 * `patchHidden` reaches what TypeScript calls protected or private (never `#private` state) by its name.
 */

/** Replaces a method until the returned function is called. */
export function patchMethod<T extends object, K extends keyof T>(
  target: T,
  name: K,
  wrap: (original: T[K]) => T[K],
): () => void {
  const original = target[name];
  target[name] = wrap(original);
  return () => {
    target[name] = original;
  };
}

/** What a hidden method is replaced by: `next` does what it always did. */
export type HiddenMethod = (receiver: object, args: unknown[], next: (args: unknown[]) => unknown) => unknown;

export function patchHidden(target: object, name: string, replacement: HiddenMethod): () => void {
  const original: unknown = Reflect.get(target, name);
  if (typeof original !== 'function') throw new TypeError(`there is no method ${name} to patch`);
  Reflect.set(target, name, function (this: object, ...args: unknown[]): unknown {
    return replacement(this, args, (changed) => Reflect.apply(original, this, changed));
  });
  return () => Reflect.set(target, name, original);
}

/** Undoes several patches, the last one first. */
export function undoAll(undos: readonly (() => void)[]): () => void {
  return () => {
    for (const undo of [...undos].reverse()) undo();
  };
}
