/** Lets the images of templates have commands that their machines start with. */
export const templateSetups = {
  id: 23,
  name: 'template-setups',
  sql: 'alter table machine_templates add column setup text;',
};
