/** The HTTP door of a node. */
export { type HttpServer, startHttpServer } from './server.js';
