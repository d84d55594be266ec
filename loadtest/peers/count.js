// The design of 2012: one process, one array of responses, each push a loop over it. The frame is drawn once,
// elsewhere, and comes by POST.
const http = require('http');

const viewers = new Set();
let frame = Buffer.alloc(0);

http.createServer((request, response) => {
  if (request.method === 'POST') {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      frame = Buffer.concat(chunks);
      for (const viewer of viewers) viewer.write(frame);
      response.end();
    });
    return;
  }
  response.writeHead(200, { 'Content-Type': 'multipart/x-mixed-replace; boundary=headcount' });
  response.write('--headcount\r\nContent-Type: image/png\r\n\r\n');
  response.write(frame);
  viewers.add(response);
  request.on('close', () => viewers.delete(response));
}).listen(Number(process.argv[2]), '127.0.0.1', 4096);
