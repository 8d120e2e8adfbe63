import express from 'express';
import { limitOf, openRows } from './rows.ts';

/** The floor's work done with Express. Arguments: a file, a user and a port. */
const [file = '', user = '', port] = process.argv.slice(2);
const list = openRows(file, user);

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.get('/v1/sessions/sandboxes', (req, res) => {
  res.type('application/json').send(list(limitOf(req.url)));
});
app.listen(Number(port), '127.0.0.1');
