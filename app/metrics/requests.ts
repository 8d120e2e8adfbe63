import { Gauge, Histogram, type Registry } from 'prom-client';
import type { Metrics } from '../context.ts';
import { buckets } from './buckets.ts';

/** Methods that get a series of their own. Clients can invent methods, so all others share one. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const other = 'other';

/** Adds the metrics of HTTP requests to a registry. */
export function requestMetrics(register: Registry): Pick<Metrics, 'requestBegan' | 'requestEnded'> {
  const durations = new Histogram({
    name: 'sandpit_http_request_duration_seconds',
    help: "Requests by the contract's path, until the response is sent or the client disconnects.",
    labelNames: ['method', 'route', 'status'],
    buckets,
    registers: [register],
  });
  let inFlight = 0;
  new Gauge({
    name: 'sandpit_http_requests_in_flight',
    help: 'Requests in progress.',
    registers: [register],
    collect() {
      this.set(inFlight);
    },
  });
  return {
    requestBegan: () => {
      inFlight++;
    },
    requestEnded: (method, route, status, seconds) => {
      inFlight--;
      const labels = { method: methods.has(method) ? method : other, route: route ?? other, status };
      durations.observe(labels, seconds);
    },
  };
}
