/**
 * Metadata of the sandboxes that the suite makes, as JSON text, oldest first. They resemble one
 * another: each misreading of a filter (see misreadings.ts) matches a wrong one.
 */
export const documents: readonly string[] = [
  '{"env":"dev","userId":"123","team":"blue","active":true}',
  '{"env":"dev","userId":"124","note":null,"flag":1}',
  '{"env":"prod","userId":"123","Env":"dev","active":"true","flag":true}',
  '{"env":"Dev","userId":123,"active":false,"note":"null","team":"50% off"}',
  '{"env":"development","userId":"1234","count":1,"team":"50_ off"}',
  '{"env":"dév","count":"1","ratio":1.5,"big":12345678901234567890}',
  String.raw`{"count":2,"ratio":"1.5","big":12345678901234567891,"accent":"e\u0301"}`,
  '{"repo":{"owner":"ann","name":"site","tags":["a","b"]},"a":{"b":"dotted"},"accent":"é"}',
  '{"repo":{"owner":"bob","name":"site"},"tags":["x","y","z"],"list":[{"a":1,"b":2},{"a":3}]}',
  '{"repo":"ann","tags":["z","y"],"list":[{"a":1},{"b":2,"c":3}],"deep":[[1,2],[3]],"owner":"bob"}',
  '{"owner":"ann","tags":"x","deep":[[1],[2]],"empty":{},"none":[],"a.b":"dotted","emoji":"🙂"}',
  String.raw`{"":"no name","__proto__":"own","constructor":"own","q\"uote":"it's","tags":[],"empty":[],"emoji":"🙃"}`,
];
