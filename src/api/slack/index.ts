/** The Slack door of a node. */
export { startSlackDoor } from './server.js';
