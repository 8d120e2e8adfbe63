/**
 * The documented operation, transcribed from its public page. `openapi.yaml` must not drift from
 * it.
 */
export const seed = {
  method: 'get',
  path: '/v1/sessions/sandboxes',
  summary: 'List Sandboxes',
  description: [
    'List VMs (sandboxes) with optional metadata filtering.',
    "This endpoint matches E2B's Sandbox.list() functionality.",
    'Args: metadata: JSON string of key-value pairs to filter by. Example: \'{"userId": "123", "env": "dev"}\' Filters using @> (contains) operator for GIN-indexed queries. limit: Maximum number of results (1-1000, default: 100)',
    'Returns: List of sandbox info objects with:',
    '- sandbox_id: Unique VM identifier',
    '- template_id: Snapshot/template used (from parent_snapshot_ref)',
    '- name: Template name (from parent_snapshot_ref or "default")',
    '- metadata: User-defined key-value pairs',
    '- started_at: ISO timestamp when VM was started',
    '- end_at: ISO timestamp when VM will expire (if active)',
    "- status: VM status ('active', 'killed', etc.)",
    'Example: GET /v1/sessions/sandboxes?metadata={"userId":"123"}',
    'Response: [ { "sandbox_id": "vmid-abc-15", "template_id": "snap2", "name": "snap2", "metadata": {"userId": "123", "env": "dev"}, "started_at": "2025-01-18T10:30:00", "end_at": "2025-01-18T10:35:00", "status": "active" } ]',
  ].join('\n'),
  security: [{ OAuth2PasswordBearer: [] }],
  parameters: [
    {
      name: 'metadata',
      in: 'query',
      types: ['string', 'null'],
      required: false,
      description: 'JSON string of metadata filters, e.g. \'{"userId":"123"}\'',
      constraints: {},
    },
    {
      name: 'limit',
      in: 'query',
      types: ['integer'],
      required: false,
      description: 'Maximum number of results',
      constraints: { default: 100, minimum: 1, maximum: 1000 },
    },
    {
      name: 'X-API-Key',
      in: 'header',
      types: ['string', 'null'],
      required: false,
      description: undefined,
      constraints: {},
    },
  ],
  responses: {
    200: {
      description: 'Successful Response',
      schema: {
        type: 'array',
        items: {
          properties: {
            sandbox_id: { type: 'string', title: 'Sandbox Id' },
            template_id: { anyOf: [{ type: 'string' }, { type: 'null' }], title: 'Template Id' },
            name: { type: 'string', title: 'Name' },
            metadata: { type: 'object', title: 'Metadata' },
            started_at: { type: 'string', title: 'Started At' },
            end_at: { anyOf: [{ type: 'string' }, { type: 'null' }], title: 'End At' },
            status: { type: 'string', title: 'Status' },
          },
          type: 'object',
          required: ['sandbox_id', 'name', 'metadata', 'started_at', 'status'],
          title: 'VMSandboxInfo',
          description: "Response model matching E2B's SandboxInfo structure.",
        },
        title: 'Response List Sandboxes V1 Sessions Sandboxes Get',
      },
    },
    422: {
      description: 'Validation Error',
      schema: {
        properties: {
          detail: {
            items: {
              properties: {
                loc: { items: { anyOf: [{ type: 'string' }, { type: 'integer' }] }, type: 'array', title: 'Location' },
                msg: { type: 'string', title: 'Message' },
                type: { type: 'string', title: 'Error Type' },
              },
              type: 'object',
              required: ['loc', 'msg', 'type'],
              title: 'ValidationError',
            },
            type: 'array',
            title: 'Detail',
          },
        },
        type: 'object',
        title: 'HTTPValidationError',
      },
    },
  },
};
