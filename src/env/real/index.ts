/** The real outside world: the machine's clock, chance and disk, and gRPC between nodes. */
import type { Env } from '../env.js';
import { RealClock } from './clock.js';
import { RealDisk } from './disk.js';
import { GrpcNetwork, type GrpcNetworkOptions } from './grpc-network.js';
import { RealRandom } from './random.js';

export interface RealEnvOptions {
  /** How links between nodes are secured; plain text by default. */
  readonly network?: GrpcNetworkOptions;
}

export function realEnv(options: RealEnvOptions = {}): Env {
  return {
    clock: new RealClock(),
    random: new RealRandom(),
    disk: new RealDisk(),
    network: new GrpcNetwork(options.network),
  };
}
