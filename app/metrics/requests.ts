import { Gauge, type Registry } from 'prom-client';
import type { Metrics } from '../context.ts';
import { RequestDurations } from '../internals/request-durations.ts';
import { buckets } from './buckets.ts';

/** Methods that get a series of their own. Clients can invent methods, so all others share one. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const other = 'other';

/** Adds the metrics of HTTP requests to a registry. */
export function requestMetrics(register: Registry): Pick<Metrics, 'requestBegan' | 'requestEnded'> {
  const name = 'sandpit_http_request_duration_seconds';
  const help = "Requests by the contract's path, until the response is sent or the client disconnects.";
  const durations = new RequestDurations(name, help, buckets);
  register.registerMetric(durations.asMetric());
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
      durations.observe(methods.has(method) ? method : other, route ?? other, status, seconds);
    },
  };
}
