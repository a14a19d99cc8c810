/** A thing with some of its members replaced; the others keep working on the thing itself, private fields included. */
export function instead<Thing extends object>(real: Thing, replaced: Partial<Record<keyof Thing, unknown>>): Thing {
  return new Proxy(real, {
    get(target, name) {
      if (name in replaced) return replaced[name as keyof Thing];
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
