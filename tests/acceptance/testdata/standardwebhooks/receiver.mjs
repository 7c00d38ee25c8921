// A receiver of notifications that believes nothing but what the library of Standard Webhooks has verified. It prints its address, and
// then a line of JSON for each message.
// Usage: node receiver.mjs SECRET
import http from 'node:http';
import {Webhook} from 'standardwebhooks';

const webhook = new Webhook(process.argv[2]);
const server = http.createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  try {
    const message = webhook.verify(body, request.headers);
    console.log(JSON.stringify({id: request.headers['webhook-id'], message}));
    response.writeHead(204).end();
  } catch (error) {
    console.log(JSON.stringify({refused: error.message}));
    response.writeHead(401).end();
  }
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({url: `http://127.0.0.1:${server.address().port}/`})));
