/** Lines for people: notes stay, progress is rewritten in place on a terminal and said now and then elsewhere. */

export interface Terminal {
  note(line: string): void;
  progress(line: string): void;
}

/** Where there is no terminal (a pipe, a log), progress is said this often. */
const PIPE_PROGRESS_MS = 10_000;

export function createTerminal(stream: NodeJS.WriteStream): Terminal {
  let progressShown = false;
  let progressAt = Number.NEGATIVE_INFINITY;
  const clear = (): void => {
    if (progressShown) stream.write('\r\u001b[2K');
    progressShown = false;
  };
  return {
    note(line) {
      clear();
      stream.write(`${line}\n`);
    },
    progress(line) {
      if (stream.isTTY) {
        clear();
        stream.write(line);
        progressShown = true;
      } else if (performance.now() - progressAt >= PIPE_PROGRESS_MS) {
        progressAt = performance.now();
        stream.write(`${line}\n`);
      }
    },
  };
}
