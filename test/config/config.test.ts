import { expect } from 'chai';
import { ConfigError, readConfig } from '../../app/config/config.ts';
import { settings } from '../../app/config/settings.ts';

describe('the configuration', () => {
  it('prefers flags to the environment, and the environment to defaults', () => {
    const env = { SANDPIT_PORT: '4000', SANDPIT_HOST: '::1' };
    expect(readConfig({ port: '5000' }, env)).to.deep.include({ port: 5000, host: '::1', db: './sandpit.db' });
  });

  it('accepts an IPv6 address with and without brackets', () => {
    for (const name of ['host', 'metricsHost'] as const) {
      expect(readConfig({ [name]: '[::1]' }, {})[name]).to.equal('::1');
      expect(readConfig({ [name]: '::' }, {})[name]).to.equal('::');
      expect(readConfig({ [name]: 'localhost' }, {})[name]).to.equal('localhost');
    }
  });

  it('has valid default values', () => {
    for (const { fallback, read } of Object.values(settings)) {
      if (fallback !== undefined) expect(read(String(fallback))).to.equal(fallback);
    }
  });

  it('refuses a bad value and names the variable or the flag', () => {
    const bad: [string, string][] = [
      ['port', '65536'],
      ['port', 'http'],
      ['port', '1e3'],
      ['port', ''],
      ['host', ''],
      ['db', ''],
      ['apiKey', 'e2b_123'],
      ['logLevel', 'loud'],
      ['validateResponses', 'yes'],
      ['tokenSeconds', '0'],
      ['retention', '0d'],
      ['retention', '30'],
      ['retention', '1.5h'],
      ['retention', 'forever'],
      ['tlsCert', ''],
      ['corsOrigins', 'a.example'],
      ['corsOrigins', 'https://a.example/'],
      ['corsOrigins', 'https://a.example,'],
      ['trustProxy', 'true'],
      ['trustProxy', '0'],
      ['trustProxy', '10.0.0.0/33'],
      ['trustProxy', '10.0.0'],
      ['rateLimit', '50'],
      ['rateLimit', '0/s'],
      ['rateLimit', '1.5/s'],
      ['rateLimit', '50/h'],
      ['maxConcurrent', '0'],
      ['maxConnections', '-1'],
      ['requestSeconds', '0'],
    ];
    for (const [name, value] of bad) {
      const { variable, flag } = settings[name as keyof typeof settings];
      expect(() => readConfig({}, { [variable]: value })).to.throw(ConfigError, variable);
      expect(() => readConfig({ [name]: value }, {})).to.throw(ConfigError, `--${flag}`);
    }
  });

  it('accepts a duration in days, hours, minutes or seconds', () => {
    const read = (retention: string) => readConfig({ retention }, {}).retention;
    expect(['30d', '12h', '90m', '45s'].map(read)).to.deep.equal([2_592_000_000, 43_200_000, 5_400_000, 45_000]);
    expect(readConfig({}, {}).retention).to.equal(undefined);
  });

  it('accepts a rate, origins and proxies', () => {
    expect(readConfig({ rateLimit: '600/m' }, {}).rateLimit).to.deep.equal({ count: 600, milliseconds: 60_000 });
    const origins = 'https://a.example, http://localhost:5173';
    expect(readConfig({ corsOrigins: origins }, {}).corsOrigins).to.deep.equal(origins.split(', '));
    expect(readConfig({ trustProxy: '2' }, {}).trustProxy).to.equal(2);
    const proxies = 'loopback,10.0.0.0/8,2001:db8::1';
    expect(readConfig({ trustProxy: proxies }, {}).trustProxy).to.deep.equal(proxies.split(','));
  });

  it('never repeats a key in an error', () => {
    expect(() => readConfig({}, { SANDPIT_API_KEY: 'hush' }))
      .to.throw(ConfigError)
      .and.not.match(/hush/);
  });
});
