import { generated } from './generated.ts';
import { requirePart } from './marked.ts';

describe('the generated parts of the pages (npm run docs writes them)', () => {
  for (const { part, text } of generated) {
    it(`${part.page} has the table of "${part.name}" as the program has it`, () => requirePart(part, text()));
  }
});
