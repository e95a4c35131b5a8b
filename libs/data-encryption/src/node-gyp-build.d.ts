/** The package ships no types. Loads the binary under `build/Release` or `prebuilds/` that fits this Node.js. */
declare module 'node-gyp-build' {
  export default function load(packageDirectory: string): unknown;
}
