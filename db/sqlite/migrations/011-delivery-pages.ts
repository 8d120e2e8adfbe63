/** An index with which a page of deliveries of one status reads only the rows that it shows. */
export const deliveryPages = {
  id: 11,
  name: 'delivery-pages',
  sql: `
    drop index webhook_deliveries_by_endpoint;
    create index webhook_deliveries_by_status on webhook_deliveries (endpoint_id, status, seq);
  `,
};
