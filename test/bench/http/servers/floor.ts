import { createServer } from 'node:http';
import { limitOf, openRows } from './rows.ts';

/** The minimal server: node:http and a prepared statement. Arguments: a file, a user and a port. */
const [file = '', user = '', port] = process.argv.slice(2);
const list = openRows(file, user);

createServer((req, res) => {
  const body = list(limitOf(req.url ?? ''));
  res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}).listen(Number(port), '127.0.0.1');
