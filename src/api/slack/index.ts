/** The Slack door of a node. */
export { type SlackDoor, startSlackDoor } from './server.js';
