/** A fault its operator can mend: printed as one sentence, exit code 1, no stack. */
export class Stop extends Error {}

/** Runs a script's main function; a Stop ends it with its sentence, anything else is our bug and keeps its stack. */
export async function run(main) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Stop ? `\nnest-hsm: ${error.message}` : error);
    process.exitCode = 1;
  }
}
