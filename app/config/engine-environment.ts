/** What the environment says about where container engines are. */
export type EngineEnvironment = {
  dockerHost: string | undefined;
  /** the folder with a certificate and its key for engines behind TLS; undefined: no TLS */
  certificates: string | undefined;
  runtimeFolder: string | undefined;
  home: string | undefined;
};

/** Reads the variables that Docker's own client reads, so that both find the same engine. */
export function readEngineEnvironment(env: NodeJS.ProcessEnv = process.env): EngineEnvironment {
  const wantsTls = (env.DOCKER_TLS_VERIFY ?? '') !== '';
  return {
    dockerHost: env.DOCKER_HOST || undefined,
    certificates: wantsTls ? env.DOCKER_CERT_PATH || `${env.HOME}/.docker` : undefined,
    runtimeFolder: env.XDG_RUNTIME_DIR || undefined,
    home: env.HOME || env.USERPROFILE || undefined,
  };
}

/** Returns the environment for programs that are run, and where they are looked for. */
export function readEnvironment(): NodeJS.ProcessEnv {
  return process.env;
}
