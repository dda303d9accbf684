// requests.http is written for VS Code's REST Client, where {{login.response.body.$.access_token}} reads an answer.
// httpYac keeps an answer's body under the request's name; this gives that body the path that REST Client has.
module.exports = {
  configureHooks: ({ hooks }) =>
    hooks.onResponse.addHook("restClientPaths", (response) => {
      const body = response.parsedBody;
      if (body && typeof body === "object") {
        Object.defineProperty(body, "response", { value: { body: { $: body } } });
      }
    }),
};
