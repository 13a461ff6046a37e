// The published JavaScript client against the server that CONDUCTOR_SERVER_URL names.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, test } from "node:test";
import {
  ConductorWorkflow,
  MetadataClient,
  NonRetryableException,
  OrkesClients,
  TaskHandler,
  TaskManager,
  WorkflowExecutor,
  clearWorkerRegistry,
  conductorEventTask,
  doWhileTask,
  dynamicForkTask,
  eventTask,
  forkTaskJoin,
  getTaskContext,
  httpTask,
  humanTask,
  inlineTask,
  joinTask,
  jsonJqTask,
  kafkaPublishTask,
  newLoopTask,
  orkesConductorClient,
  pullWorkflowMessages,
  setVariableTask,
  simpleTask,
  startWorkflowTask,
  subWorkflowTask,
  switchTask,
  taskDefinition,
  terminateTask,
  waitForWebhookTask,
  waitTaskDuration,
  waitTaskUntil,
  worker,
  workflow,
} from "@io-orkes/conductor-javascript";

const server = process.env.CONDUCTOR_SERVER_URL;
const silent = { info() {}, debug() {}, warn() {}, error() {} };
const quiet = { ...silent, error: console.error };
let clients, executor, metadata;

const unique = (name) => `js_${name}_${randomUUID().slice(0, 8)}`;

async function until(condition, what, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `it did not come about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const ended = (id) =>
  until(async () => {
    const found = await executor.getWorkflow(id, true);
    return found.status !== "RUNNING" && found;
  }, `${id} ends`);

const run = (name, tasks, input = {}) =>
  executor.executeWorkflow({ name, version: 1, input, workflowDef: workflow(name, tasks) }, name, 1, randomUUID());

before(async () => {
  clients = await OrkesClients.from({ serverUrl: server, logger: quiet });
  executor = clients.getWorkflowClient();
  metadata = clients.getMetadataClient();
});

test("definitions", async () => {
  const name = unique("definition");
  const task = taskDefinition({ name: `${name}_task`, retryCount: 1, timeoutSeconds: 20, responseTimeoutSeconds: 10 });
  await metadata.registerTask(task);
  await metadata.updateTask({ ...task, retryCount: 2 });
  assert.equal((await metadata.getTask(`${name}_task`)).retryCount, 2);
  await metadata.registerWorkflowDef(workflow(name, [simpleTask("a", `${name}_task`, { x: "${workflow.input.x}" })]), true);
  await executor.registerWorkflow(true, { ...workflow(name, [simpleTask("a", `${name}_task`, {})]), version: 2 });
  assert.equal((await metadata.getWorkflowDef(name)).version, 2);
  assert.deepEqual((await metadata.getWorkflowDef(name, 1)).tasks[0].inputParameters, { x: "${workflow.input.x}" });
  assert.ok((await metadata.getAllWorkflowDefs()).some((found) => found.name === name));

  await metadata.addWorkflowTag({ key: "team", value: "a" }, name);
  assert.deepEqual((await metadata.getWorkflowTags(name)).map((tag) => tag.value), ["a"]);
  await metadata.setTaskTags([{ key: "k", value: "v" }], `${name}_task`);
  assert.equal((await metadata.getTaskTags(`${name}_task`))[0].value, "v");
  await metadata.setWorkflowRateLimit({ rateLimitKey: name, concurrentExecLimit: 3 }, name);
  assert.equal((await metadata.getWorkflowRateLimit(name)).concurrentExecLimit, 3);
  await metadata.removeWorkflowRateLimit(name);

  await metadata.unregisterWorkflow(name, 2);
  await metadata.unregisterTask(`${name}_task`);
  await assert.rejects(metadata.getTask(`${name}_task`), /404|not found|no task/i);
});

test("workers of a TaskManager", async () => {
  const name = unique("managed");
  const manager = new TaskManager(
    clients.getClient(),
    [
      {
        taskDefName: `${name}_a`,
        execute: async ({ inputData }) => ({ status: "COMPLETED", outputData: { n: inputData.n + 1 }, logs: [{ log: "hi" }] }),
      },
      { taskDefName: `${name}_b`, execute: async () => { throw new NonRetryableException("never"); } },
    ],
    { logger: silent, options: { pollInterval: 20, concurrency: 3, workerID: "js" } },
  );
  manager.startPolling();
  try {
    const tasks = [simpleTask("a", `${name}_a`, { n: "${workflow.input.n}" }), simpleTask("b", `${name}_b`, {})];
    await metadata.registerWorkflowDef(workflow(name, tasks), true);
    const id = await executor.startWorkflow({ name, version: 1, input: { n: 1 } });
    const found = await ended(id);
    assert.equal(found.status, "FAILED");
    assert.deepEqual(found.tasks[0].outputData, { n: 2 });
    assert.equal(found.tasks[1].status, "FAILED_WITH_TERMINAL_ERROR");
    assert.match(found.reasonForIncompletion, /never/);
    assert.equal((await clients.getTaskClient().getTaskLogs(found.tasks[0].taskId))[0].log, "hi");
  } finally {
    await manager.stopPolling();
  }
});

test("decorated workers of a TaskHandler", async () => {
  const name = unique("decorated");
  const seen = [];
  class Workers {
    async greet(task) {
      getTaskContext().addLog(`greeting ${task.inputData.who}`);
      return { status: "COMPLETED", outputData: { text: `hello ${task.inputData.who}` } };
    }
    async patient() {
      const polls = getTaskContext().getPollCount();
      return polls > 1 ? { status: "COMPLETED", outputData: { polls } } : { status: "IN_PROGRESS", callbackAfterSeconds: 0 };
    }
  }
  const decorate = (method, taskDefName) => {
    const descriptor = Object.getOwnPropertyDescriptor(Workers.prototype, method);
    worker({ taskDefName, concurrency: 2, pollInterval: 20, registerTaskDef: true, overwriteTaskDef: false })(
      Workers.prototype, method, descriptor,
    );
  };
  decorate("greet", `${name}_greet`);
  decorate("patient", `${name}_patient`);
  const handler = new TaskHandler({
    client: clients.getClient(),
    scanForDecorated: true,
    logger: quiet,
    eventListeners: [{ onTaskExecutionCompleted: ({ taskType }) => void seen.push(taskType) }],
  });
  await handler.startWorkers();
  try {
    assert.equal(handler.isHealthy(), true);
    const flow = new ConductorWorkflow(executor, name, 1)
      .add(simpleTask("greet", `${name}_greet`, { who: "${workflow.input.who}" }))
      .add(simpleTask("patient", `${name}_patient`, {}))
      .outputParameters({ text: "${greet.output.text}", polls: "${patient.output.polls}" });
    await flow.register(true);
    const done = await flow.execute({ who: "you" });
    assert.equal(done.status, "COMPLETED");
    assert.deepEqual(done.output, { text: "hello you", polls: 2 });
    assert.ok(seen.includes(`${name}_greet`));
    assert.equal((await metadata.getTask(`${name}_greet`)).name, `${name}_greet`);
  } finally {
    await handler.stopWorkers();
    clearWorkerRegistry();
  }
});

test("task builders", async () => {
  const name = unique("builders");
  const child = new ConductorWorkflow(executor, `${name}_child`, 1)
    .add(inlineTask("twice", "(function () { return $.n * 2; })();"))
    .outputParameters({ n: "${workflow.input.n}" });
  await child.register(true);
  const tasks = [
    setVariableTask("set", { v: "${workflow.input.v}" }),
    jsonJqTask("jq", ".a"),
    httpTask("http", { uri: `${server}/health`, method: "GET" }),
    switchTask("switch", "${workflow.input.v}", { one: [setVariableTask("was_one", { was: 1 })] }, []),
    ...forkTaskJoin("fork", [inlineTask("left", "'l'"), inlineTask("right", "'r'")]),
    newLoopTask("loop", 2, [inlineTask("body", "1")]),
    doWhileTask("once", "false", [inlineTask("only", "1")]),
    { ...subWorkflowTask("sub", `${name}_child`, 1), inputParameters: { n: 4 } },
    startWorkflowTask("other", `${name}_child`, { n: 5 }, 1),
    conductorEventTask("event", `${name}_event`),
    waitTaskDuration("short", "1s"),
    waitTaskUntil("past", "2020-01-01 10:00 UTC"),
  ];
  const found = await run(name, tasks, { v: "one" });
  const done = found.status === "RUNNING" ? await ended(found.workflowId) : found;
  assert.equal(done.status, "COMPLETED", done.reasonForIncompletion);
  assert.deepEqual(done.variables, { v: "one", was: 1 });
  const byReference = Object.fromEntries(done.tasks.map((task) => [task.referenceTaskName, task]));
  assert.equal(byReference.http.outputData.response.body.healthy, true);
  assert.equal(byReference.loop.outputData.iteration, 2);
  assert.equal(byReference.sub.outputData.n, 4);

  const stopped = await run(unique("stop"), [terminateTask("stop", "FAILED", "enough")]);
  assert.equal(stopped.status, "FAILED");
  const forked = await run(unique("dynamic"), [
    { ...dynamicForkTask("fork"), inputParameters: { dynamicTasks: [{ name: "x", taskReferenceName: "x", type: "NOOP" }], dynamicTasksInput: { x: {} } } },
    joinTask("join", []),
  ]);
  assert.equal(forked.status, "COMPLETED", forked.reasonForIncompletion);
  const waiting = [kafkaPublishTask("kafka", { topic: "t", value: "v", bootStrapServers: "localhost:9" }), eventTask("sqs", "sqs", "q")];
  await metadata.registerWorkflowDef(workflow(unique("waiting"), [waitForWebhookTask("hook", { matches: { "$['a']": 1 } }), ...waiting]), true);
});

test("operations", async () => {
  const name = unique("operations");
  await metadata.registerTask(taskDefinition({ name: `${name}_a`, retryCount: 0 }));
  await metadata.registerWorkflowDef(workflow(name, [simpleTask("a", `${name}_a`, {}), simpleTask("b", `${name}_b`, {})]), true);
  const id = await executor.startWorkflowByName(name, { x: 1 }, 1, "correlated", 5);
  await executor.pause(id);
  assert.equal((await executor.getWorkflowStatus(id, true, true)).status, "PAUSED");
  await executor.resume(id);
  await executor.updateVariables(id, { seen: true });
  await executor.updateTaskByRefName("a", id, "FAILED", { why: "no" });
  assert.equal((await executor.getWorkflow(id, true)).status, "FAILED");
  await executor.retry(id, false);
  await executor.skipTasksFromWorkflow(id, "b", { taskInput: {}, taskOutput: { skipped: true } });
  const synced = await executor.updateTaskSync("a", id, "COMPLETED", { ok: 1 });
  assert.equal(synced.status, "COMPLETED");
  assert.deepEqual(synced.variables, { seen: true });
  await executor.restart(id, true);
  await executor.terminate(id, "enough");
  await executor.reRun(id, { workflowInput: { x: 2 } });
  const task = (await executor.getWorkflow(id, true)).tasks[0];
  assert.equal((await executor.getTask(task.taskId)).referenceTaskName, "a");
  await executor.updateTask(task.taskId, id, "COMPLETED", { by: "id" });

  const found = await executor.search(0, 10, `workflowType='${name}' AND status='RUNNING'`, "*");
  assert.deepEqual(found.results.map((each) => each.workflowId), [id]);
  const correlated = await executor.getByCorrelationIds({ correlationIds: ["correlated"], workflowNames: [name] });
  assert.equal(correlated.correlated[0].workflowId, id);
  const queued = await clients.getTaskClient().getQueueSizeForTask([`${name}_b`]);
  assert.equal(queued[`${name}_b`], 1);
  const tasks = await clients.getTaskClient().search(0, 10, undefined, "*", `workflowType='${name}'`);
  assert.ok(tasks.totalHits >= 2);
  await executor.deleteWorkflow(id, false);
  await assert.rejects(executor.getWorkflow(id, true, 0), /404|not found|no workflow/i);
});

test("signals, return strategies and messages", async () => {
  const name = unique("signals");
  const wait = { name: "wait", taskReferenceName: "wait", type: "WAIT" };
  await metadata.registerWorkflowDef(workflow(name, [wait, { ...wait, taskReferenceName: "again" }]), true);
  const reached = await executor.executeWorkflow({ name, version: 1 }, name, 1, randomUUID(), "", 5, "DURABLE", "BLOCKING_TASK");
  assert.equal(reached.isBlockingTask(), true);
  assert.equal(reached.getBlockingTask().referenceTaskName, "wait");
  const next = await executor.signal(reached.targetWorkflowId, "COMPLETED", { n: 1 }, "BLOCKING_TASK_INPUT");
  assert.equal(next.referenceTaskName, "again");
  await executor.signalAsync(reached.targetWorkflowId, "COMPLETED", { n: 2 });
  assert.equal((await executor.getWorkflow(reached.targetWorkflowId, true)).status, "COMPLETED");

  const pulling = workflow(unique("messages"), [pullWorkflowMessages("pull", 1)]);
  await executor.terminate(await executor.startWorkflow({ name: pulling.name, workflowDef: pulling }), "not needed");
  const tested = await executor.testWorkflow({
    name, version: 1, workflowDef: workflow(name, [simpleTask("a", "work", {})]),
    taskRefToMockOutput: { a: [{ status: "COMPLETED", output: { mocked: true } }] },
  });
  assert.deepEqual([tested.status, tested.output], ["COMPLETED", { mocked: true }]);
});

test("events", async () => {
  const events = clients.getEventClient();
  const name = unique("events");
  const event = `conductor:${name}:done`;
  await metadata.registerWorkflowDef(workflow(`${name}_target`, [inlineTask("echo", "$.text")]), true);
  const action = { action: "start_workflow", start_workflow: { name: `${name}_target`, version: 1, input: { text: "${text}" } } };
  const handler = { name, event, active: true, actions: [action] };
  await events.addEventHandler(handler);
  await events.addEventHandlers([{ ...handler, name: `${name}_idle`, active: false }]);
  assert.equal((await events.getEventHandlerByName(name)).event, event);
  assert.equal((await events.getEventHandlersForEvent(event)).length, 2);
  assert.equal((await events.getEventHandlersForEvent(event, true)).length, 1);
  const published = await run(name, [{ ...conductorEventTask("publish", "done"), inputParameters: { text: "hey" } }]);
  assert.equal(published.status, "COMPLETED");
  await until(async () => {
    const found = await executor.search(0, 1, `workflowType='${name}_target' AND status='COMPLETED'`, "*");
    return found.results.length;
  }, "the event starts a workflow");
  await events.updateEventHandler({ ...handler, active: false });
  await events.putTagForEventHandler(name, [{ key: "a", value: "b" }]);
  assert.equal((await events.getTagsForEventHandler(name))[0].value, "b");
  await events.deleteTagsForEventHandler(name, [{ key: "a", value: "b" }]);
  assert.ok((await events.getAllEventHandlers()).some((found) => found.name === name));
  await events.removeEventHandler(name);
  await events.removeEventHandler(`${name}_idle`);
  await events.handleIncomingEvent({ event, text: "x" });
});

test("schedules", async () => {
  const schedules = clients.getSchedulerClient();
  const name = unique("schedule");
  await metadata.registerWorkflowDef(workflow(name, [inlineTask("echo", "1")]), true);
  await schedules.saveSchedule({ name, cronExpression: "* * * * * ?", startWorkflowRequest: { name, version: 1, input: {} } });
  await until(async () => {
    const found = await executor.search(0, 1, `workflowType='${name}' AND status='COMPLETED'`, "*");
    return found.results.length;
  }, "the schedule starts a workflow");
  await schedules.pauseSchedule(name, "a break");
  assert.equal((await schedules.getSchedule(name)).paused, true);
  await schedules.resumeSchedule(name);
  assert.equal((await schedules.getAllSchedules(name)).length, 1);
  assert.equal((await schedules.getNextFewSchedules("0 0 12 * * ?", undefined, undefined, 3)).length, 3);
  assert.ok((await schedules.search(0, 10, undefined, "*", `workflowType='${name}'`)).results.length >= 0);
  await schedules.setSchedulerTags([{ key: "a", value: "b" }], name);
  assert.equal((await schedules.getSchedulerTags(name))[0].key, "a");
  await schedules.deleteSchedulerTags([{ key: "a", value: "b" }], name);
  await schedules.deleteSchedule(name);
});

test("secrets, schemas, prompts, integrations and people", async () => {
  const name = unique("stored");
  const secrets = clients.getSecretClient();
  await secrets.putSecret(name, 'p"w\\ä');
  assert.equal(await secrets.getSecret(name), 'p"w\\ä');
  assert.equal(await secrets.secretExists(name), true);
  assert.ok((await secrets.listAllSecretNames()).includes(name));
  await secrets.setSecretTags([{ key: "a", value: "b" }], name);
  assert.equal((await secrets.getSecretTags(name)).length, 1);
  await secrets.deleteSecret(name);

  const schemas = clients.getSchemaClient();
  await schemas.registerSchema([{ name, version: 1, type: "JSON", data: { type: "object" } }]);
  assert.deepEqual((await schemas.getSchema(name, 1)).data, { type: "object" });
  await schemas.deleteSchemaByName(name);

  const prompts = clients.getPromptClient();
  await prompts.savePrompt(name, "a prompt", "Say ${what}");
  assert.equal((await prompts.getPrompt(name)).template, "Say ${what}");
  await prompts.deletePrompt(name);

  const integrations = clients.getIntegrationClient();
  await integrations.saveIntegrationProvider(name, { type: "openai", category: "AI_MODEL", description: "d", enabled: true, configuration: {} });
  await integrations.saveIntegrationApi(name, "gpt", { description: "m", enabled: true });
  assert.equal((await integrations.getIntegrationApis(name)).length, 1);
  await integrations.deleteIntegrationProvider(name);

  const people = clients.getAuthorizationClient();
  await people.upsertUser(`${name}@example.com`, { name: "Ada", roles: ["USER"] });
  await people.upsertGroup(name, { description: "g", roles: ["USER"] });
  await people.addUserToGroup(name, `${name}@example.com`);
  assert.deepEqual((await people.getUsersInGroup(name)).map((user) => user.id), [`${name}@example.com`]);
  await people.grantPermissions({ subject: { type: "GROUP", id: name }, target: { type: "WORKFLOW_DEF", id: name }, access: ["READ"] });
  assert.ok((await people.getPermissions("WORKFLOW_DEF", name)).READ);
  await people.deleteGroup(name);
  await people.deleteUser(`${name}@example.com`);

  const applications = clients.getApplicationClient();
  const application = await applications.createApplication(name);
  await applications.addApplicationTag(application.id, { key: "a", value: "b" });
  assert.equal((await applications.getApplicationTags(application.id)).length, 1);
  assert.deepEqual(await applications.getAccessKeys(application.id), []);
  await applications.deleteApplication(application.id);
});

test("human tasks", async () => {
  const human = clients.getHumanClient();
  const name = unique("human");
  const found = await run(name, [humanTask("approve", { displayName: "Approve" })]);
  assert.equal(found.status, "RUNNING");
  const taskId = found.tasks[0].taskId;
  const entries = await human.search({ states: ["PENDING", "ASSIGNED"], definitionNames: [name] });
  assert.ok(Array.isArray(entries));
  assert.equal((await human.getTaskById(taskId)).taskId, taskId);
  await human.claimTaskAsExternalUser(taskId, "ada");
  await human.updateTaskOutput(taskId, { draft: { ok: false } });
  await human.releaseTask(taskId);
  await human.claimTaskAsExternalUser(taskId, "bob");
  await human.completeTask(taskId, { answer: { ok: true } });
  const done = await ended(found.workflowId);
  assert.deepEqual([done.status, done.output.answer], ["COMPLETED", { ok: true }]);
});

test("the older way to get a client", async () => {
  const client = await orkesConductorClient({ serverUrl: `${server}/api`, logger: quiet });
  const older = new WorkflowExecutor(client);
  const name = unique("older");
  await new MetadataClient(client).registerWorkflowDef(workflow(name, [inlineTask("echo", "1")]), true);
  const ids = await Promise.all(older.startWorkflows([{ name, version: 1 }, { name, version: 1 }]));
  assert.equal(new Set(ids).size, 2);
});
