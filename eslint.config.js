/**
 * Rules that need types, and the rule of the house that the outside world is reached through `Env` alone. Formatting and all
 * that can be seen in one file without types is Biome's; layers and cycles are dependency-cruiser's.
 */
import tseslint from 'typescript-eslint';

/** Where ambient time, chance, disk and network are at home; everywhere else they come from `Env`. */
const AMBIENT_HOMES = [
  'src/env/real/**',
  'src/api/**',
  'src/cli/**',
  'src/client/**',
  'src/embed/**',
  'src/index.ts',
  'sim/main.ts',
];

const AMBIENT_ADVICE = 'Take it from Env, so that the simulator can stand in for it.';

const AMBIENT_GLOBALS = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
  'performance',
  'crypto',
  'fetch',
  'WebSocket',
].map((name) => ({ name, message: AMBIENT_ADVICE }));

const AMBIENT_PROPERTIES = [
  { object: 'Date', property: 'now', message: AMBIENT_ADVICE },
  { object: 'Math', property: 'random', message: AMBIENT_ADVICE },
  { object: 'process', property: 'nextTick', message: AMBIENT_ADVICE },
  { object: 'process', property: 'hrtime', message: AMBIENT_ADVICE },
  { object: 'process', property: 'uptime', message: AMBIENT_ADVICE },
  { object: 'globalThis', property: 'setTimeout', message: AMBIENT_ADVICE },
  { object: 'globalThis', property: 'setImmediate', message: AMBIENT_ADVICE },
];

/** `new Date()` without an argument reads the clock. */
const AMBIENT_SYNTAX = [
  {
    selector: "NewExpression[callee.name='Date'][arguments.length=0]",
    message: AMBIENT_ADVICE,
  },
];

const AMBIENT_MODULES = [
  'fs',
  'fs/promises',
  'net',
  'tls',
  'dgram',
  'dns',
  'http',
  'http2',
  'https',
  'timers',
  'timers/promises',
  'perf_hooks',
  'child_process',
  'worker_threads',
  'cluster',
  'os',
].map((name) => ({ regex: `^(node:)?${name}$`, message: AMBIENT_ADVICE }));

/** Hashes are functions of their input and welcome anywhere; what draws from the machine's chance is not. */
const AMBIENT_CRYPTO = {
  regex: '^(node:)?crypto$',
  importNamePattern: '^(random|webcrypto|getRandomValues|generate|default)',
  message: AMBIENT_ADVICE,
};

export default tseslint.config(
  { ignores: ['dist/**', 'coverage/**', 'node_modules/**'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: false },
      ],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      // A method that must answer a promise may have nothing to wait for: contracts are asynchronous, implementations need not be.
      '@typescript-eslint/require-await': 'off',
      // Biome reports unused names, and knows the underscore.
      '@typescript-eslint/no-unused-vars': 'off',
      'no-restricted-syntax': [
        'error',
        {
          selector: 'TSAsExpression > TSAsExpression.expression > TSUnknownKeyword.typeAnnotation',
          message: 'A cast through unknown switches the types off; narrow the value instead.',
        },
        {
          selector:
            "PropertyDefinition[accessibility='private'], MethodDefinition[accessibility='private'][kind!='constructor']",
          message: 'Private state is #private.',
        },
      ],
    },
  },
  {
    files: ['src/**/*.ts', 'sim/**/*.ts'],
    ignores: AMBIENT_HOMES,
    rules: {
      'no-restricted-globals': ['error', ...AMBIENT_GLOBALS],
      'no-restricted-properties': ['error', ...AMBIENT_PROPERTIES],
      'no-restricted-imports': ['error', { patterns: [...AMBIENT_MODULES, AMBIENT_CRYPTO] }],
      'no-restricted-syntax': [
        'error',
        ...AMBIENT_SYNTAX,
        {
          selector: 'TSAsExpression > TSAsExpression.expression > TSUnknownKeyword.typeAnnotation',
          message: 'A cast through unknown switches the types off; narrow the value instead.',
        },
        {
          selector:
            "PropertyDefinition[accessibility='private'], MethodDefinition[accessibility='private'][kind!='constructor']",
          message: 'Private state is #private.',
        },
      ],
    },
  },
  {
    // Protocol cores do no I/O: not one module of the platform.
    files: ['src/protocol/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^node:',
              message: 'A protocol core does no I/O: it gets messages and time, and gives effects.',
            },
          ],
        },
      ],
    },
  },
  {
    // Tests pass rows of unknown JSON and mocks around; promises stay guarded.
    files: ['test/**/*.ts', 'examples/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
