/**
 * Returns a function that calls `make` and remembers the result for the last argument, compared by
 * identity. Many sandboxes that share an object, such as the copies of a fork, share its result.
 */
export function memoizeLast<A extends object, R>(make: (value: A) => R): (value: A) => R {
  let last: { value: A; result: R } | undefined;
  return (value) => {
    if (last?.value !== value) last = { value, result: make(value) };
    return last.result;
  };
}
