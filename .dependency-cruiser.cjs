/**
 * Who may import whom. One direction, no way back up:
 *
 *   base, env <- protocol <- log, engine <- store <- cluster <- replica <- server <- api <- embed, proxy <- cli
 *
 * Type imports count as imports.
 */

/** From the ground up; folders of one row do not import each other, except base and env. */
const LAYERS = [
  ['base', 'env'],
  ['protocol'],
  ['log', 'engine'],
  ['store'],
  ['cluster'],
  ['replica'],
  ['server'],
  ['api'],
  ['embed', 'proxy'],
  ['cli'],
];

const anyOf = (folders) => `^src/(${folders.join('|')})/`;

const upward = LAYERS.slice(0, -1).map((row, level) => ({
  name: `${row.join('-and-')}-stay-below`,
  comment: `src/${row.join(', src/')} import nothing of the layers above.`,
  severity: 'error',
  from: { path: anyOf(row), pathNot: '^src/env/real/' },
  to: { path: anyOf(LAYERS.slice(level + 1).flat()) },
}));

module.exports = {
  forbidden: [
    ...upward,
    {
      name: 'log-and-engine-are-strangers',
      comment:
        'The log does not know how values rest, nor an engine how entries travel; replicas bring them together.',
      severity: 'error',
      from: { path: '^src/(log|engine)/' },
      to: { path: '^src/(log|engine)/', pathNot: '^src/$1/' },
    },
    {
      name: 'real-world-stays-at-the-edge',
      comment:
        'The real Env implements contracts and is chosen by whoever starts a node: the embedding layer and the command line.',
      severity: 'error',
      from: { path: '^(src|sim)/', pathNot: '^src/(env/real|embed|cli)/' },
      to: { path: '^src/env/real/' },
    },
    {
      name: 'real-world-knows-only-contracts',
      severity: 'error',
      comment: 'The real Env rests on base and env alone.',
      from: { path: '^src/env/real/' },
      to: { path: '^src/', pathNot: '^src/(base|env)/' },
    },
    {
      name: 'client-stands-alone',
      severity: 'error',
      comment:
        'The client is a library of its own: what speaks to a cluster from outside needs no server code.',
      from: { path: '^src/client/' },
      to: { path: '^src/', pathNot: '^src/(base|client)/' },
    },
    {
      name: 'client-serves-the-edge',
      severity: 'error',
      comment: 'A node does not speak to itself as a client does.',
      from: { path: '^src/', pathNot: '^src/(client|cli|embed)/|^src/index.ts$' },
      to: { path: '^src/client/' },
    },
    {
      name: 'proxy-stands-alone',
      severity: 'error',
      comment: 'The proxy knows nodes by their HTTP doors alone; it shares with them how errors are told.',
      from: { path: '^src/proxy/' },
      to: { path: '^src/', pathNot: '^src/(base|env|client|proxy|api/http)/' },
    },
    {
      name: 'protocol-has-no-platform',
      severity: 'error',
      comment: 'Protocol cores do no I/O.',
      from: { path: '^src/protocol/' },
      to: { dependencyTypes: ['core', 'npm'] },
    },
    {
      name: 'source-knows-no-tests',
      severity: 'error',
      comment:
        'What ships imports nothing of simulator, benchmarks or tests; the command line loads the first two on demand.',
      from: { path: '^src/' },
      to: { path: '^(sim|bench|test|examples|scripts)/', dynamic: false },
    },
    {
      name: 'only-the-command-line-loads-tools',
      severity: 'error',
      comment: 'The dynamic imports of simulator and benchmarks are in the command line alone.',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^(sim|bench|test|examples|scripts)/' },
    },
    {
      name: 'simulator-skips-the-doors',
      severity: 'error',
      comment: 'The simulator runs whole nodes, without their front doors and command line.',
      from: { path: '^sim/' },
      to: { path: '^src/(api|embed|cli)/|^(bench|test)/' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      comment:
        'Two files that need each other to run are one file, or hide a third. Types may name each other: nothing of that is left at run time.',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      comment: 'A file that nobody imports and that is no entry is dead.',
      from: {
        orphan: true,
        pathNot: ['\\.d\\.ts$', '^test/.*\\.test\\.ts$', '^(bench|scripts)/[^/]+$', '^examples/'],
      },
      to: {},
    },
    {
      name: 'no-undeclared-packages',
      severity: 'error',
      comment: 'What is imported is declared, and what ships does not rest on development dependencies.',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['npm-peer'],
      },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      comment: 'Every import leads somewhere.',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
    moduleSystems: ['es6', 'cjs'],
  },
};
