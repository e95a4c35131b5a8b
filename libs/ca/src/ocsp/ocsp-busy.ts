/** Too much to do, for this asker or altogether: theirs to know (`tryLater`), no failure of ours. */
export class OcspBusy extends Error {
  override readonly name = 'OcspBusy';

  constructor(
    message: string,
    readonly retryAfterSeconds = 1,
  ) {
    super(message);
  }
}
