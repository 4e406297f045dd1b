// A real legacy client (npm @modelcontextprotocol/sdk). Does what it is told and prints what it saw:
//   node client.mjs URL TOKEN '[{"list":true},{"call":"echo","arguments":{...}}]'
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, token, steps] = process.argv.slice(2);
const headers = token === "-" ? {} : { Authorization: `Bearer ${token}` };
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
const client = new Client({ name: "peer-ts", version: "1" });
const seen = [];
try {
  await client.connect(transport);
  for (const step of JSON.parse(steps)) {
    try {
      if (step.list) {
        seen.push((await client.listTools()).tools.map((tool) => tool.name).sort());
      } else {
        seen.push(await client.callTool({ name: step.call, arguments: step.arguments }));
      }
    } catch (error) {
      seen.push({ error: { code: error.code, message: error.message } });
    }
  }
  await transport.terminateSession();
  await client.close();
} catch (error) {
  seen.push({ failed: { code: error.code, message: error.message } });
}
console.log(JSON.stringify(seen));
