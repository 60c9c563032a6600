/** The Slack door of a node. */
export { checkSlackDoor, startSlackDoor } from './server.js';
