// Loaded into the tested executable by Node's own NODE_OPTIONS. It lets the test that started the
// process set Date.now, so the program itself needs no way to change its clock.
const realNow = Date.now;
let setTime;
Date.now = () => setTime ?? realNow();
process.on('message', (time) => {
  setTime = time;
  process.send(time);
});
process.channel.unref();
