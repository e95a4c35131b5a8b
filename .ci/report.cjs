// What jest's own report (--json) says: `counts` prints "passed failed skipped", `failures` a line per failed test.
// Counts of none when jest wrote no report: its step has failed then.
const { existsSync, readFileSync } = require('node:fs');
const { relative } = require('node:path');

const [file, what] = process.argv.slice(2);
const report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { testResults: [] };
const { numPassedTests = 0, numFailedTests = 0, numPendingTests = 0, numRuntimeErrorTestSuites = 0 } = report;
if (what === 'counts') console.log(numPassedTests, numFailedTests + numRuntimeErrorTestSuites, numPendingTests);
else for (const line of report.testResults.flatMap(failuresOf)) console.log(`  FAILED  ${line}`);

function failuresOf({ name, status, message, assertionResults }) {
  const path = relative(process.cwd(), name);
  const failed = assertionResults.filter((test) => test.status === 'failed');
  if (failed.length > 0)
    return failed.map((test) => `${path} › ${test.fullName}: ${inOneLine(test.failureMessages[0] ?? '')}`);
  return status === 'failed' ? [`${path}: ${inOneLine(message)}`] : [];
}

function inOneLine(text) {
  const lines = text.replace(/\u001b\[[0-9;]*m/g, '').split('\n');
  const told = lines.map((line) => line.trim()).filter((line) => line !== '');
  return told.slice(0, 8).join(' | ').slice(0, 500);
}
