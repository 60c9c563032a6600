/** The simulated network keeps the contract that the real one keeps. */
import { addressOfNode } from '../../sim/addresses.js';
import { CALM_NETWORK, SimulatedFabric } from '../../sim/network.js';
import { SeededRandom } from '../../sim/random.js';
import { Scheduler, SimulatedProcess } from '../../sim/scheduler.js';
import { Trace } from '../../sim/trace.js';
import { networkConformance } from '../env/network-conformance.js';

networkConformance('the simulated network', () => {
  const scheduler = new Scheduler(new Trace());
  const fabric = new SimulatedFabric(scheduler, new SeededRandom('conformance'), 3);
  fabric.faults = { ...CALM_NETWORK, meanExtraLatencyMs: 2 };
  return {
    listening: fabric.view(new SimulatedProcess(0)),
    dialling: fabric.view(new SimulatedProcess(1)),
    address: () => addressOfNode(0),
    unusedAddress: () => Promise.resolve(addressOfNode(2)),
    until: async (condition) => {
      for (let steps = 0; !condition(); steps++) {
        if (steps > 100_000 || !scheduler.step()) throw new Error(`never so: ${condition.toString()}`);
        await Promise.resolve();
      }
    },
    dispose: () => Promise.resolve(),
  };
});
