/** With this index, a page of deliveries of one status reads only what it shows. */
export const deliveryPages = {
  id: 11,
  name: 'delivery-pages',
  sql: `
    drop index webhook_deliveries_by_endpoint;
    create index webhook_deliveries_by_status on webhook_deliveries (endpoint_id, status, seq);
  `,
};
