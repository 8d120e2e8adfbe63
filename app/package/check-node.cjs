// Runs after `npm ci`, on the Node that npm's scripts use. It must parse on old versions of Node.
const [major] = process.versions.node.split('.');
if (Number(major) < 24) {
  console.error(
    `Sandpit runs on Node 24, but npm start would use ${process.versions.node}: run npm ci without --omit=optional, which installs Node 24 for this project, or install Node 24.`,
  );
  process.exit(1);
}
