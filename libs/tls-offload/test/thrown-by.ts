/** What an action throws. @throws when it does not */
export function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('want it to throw, got its return');
}
