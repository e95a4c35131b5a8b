import { PassThrough } from 'node:stream';
import { ask, type Question } from './ask.js';

const question: Question = { text: 'Type yes: ', instead: '--yes', undone: 'nothing was done' };

/** Somebody at a terminal. @param typed  nothing more comes after it when it ends with Ctrl-D */
function terminal(typed: string, isTTY = true): Pick<NodeJS.Process, 'stdin' | 'stderr'> {
  const stdin = Object.assign(new PassThrough(), { isTTY, setRawMode: () => undefined });
  stdin.write(typed);
  const stderr = Object.assign(new PassThrough(), { isTTY });
  return { stdin, stderr } as unknown as Pick<NodeJS.Process, 'stdin' | 'stderr'>;
}

it('gives back what was typed', async () => {
  await expect(ask(question, terminal(' yes \n'))).resolves.toBe('yes');
});

it.each([
  ['Ctrl-C', terminal('ye\u0003'), 'want an answer, got none: nothing was done'],
  ['Ctrl-D', terminal('\u0004'), 'want an answer, got none: nothing was done'],
  ['no terminal', terminal('yes\n', false), 'want a terminal to ask on, or --yes: nothing was done'],
])('says of %s that nothing was done', async (_, process, message) => {
  await expect(ask(question, process)).rejects.toMatchObject({ code: 'ERR_CLI_NOT_CONFIRMED', message });
});
