// Runs after `npm ci` on the Node that npm's scripts will use, in JavaScript that old versions read as well.
const [major] = process.versions.node.split('.');
if (Number(major) < 24) {
  console.error(
    `Sandpit runs on Node 24, and npm start would use ${process.versions.node}: run npm ci without --omit=optional, which brings Node 24 along, or install Node 24.`,
  );
  process.exit(1);
}
