/** The package ships no types. Loads the binary under `build/Release` or `prebuilds/` that fits this Node.js. */
declare module 'node-gyp-build' {
  function load(packageDirectory: string): unknown;
  namespace load {
    /** Where that binary is. */
    function path(packageDirectory: string): string;
  }
  export default load;
}
