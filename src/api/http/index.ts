/** The HTTP door of a node. */
export { type HttpServer, type HttpServerOptions, startHttpServer } from './server.js';
