import { generated } from './generated.ts';
import { writePart } from './marked.ts';

/** `npm run docs`: writes into the pages what is generated from the program. */
for (const { part, text } of generated) {
  console.log(`${part.page}, ${part.name}: ${writePart(part, text()) ? 'written' : 'up to date'}`);
}
