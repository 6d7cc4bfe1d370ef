// What CTFd's themes call for a challenge of this type; the panel itself is panel.js.
CTFd._internal.challenge.data = undefined;
CTFd._internal.challenge.renderer = null;
CTFd._internal.challenge.render = null;

CTFd._internal.challenge.preRender = function () {};

CTFd._internal.challenge.postRender = function () {
  const data = CTFd._internal.challenge.data;
  const here = data.type_data.scripts.view;
  import(CTFd.config.urlRoot + here.replace("view.js", "panel.js")).then((panel) =>
    panel.mount(data.id, (path, options) => CTFd.fetch(path, options)),
  );
};

// Themes of before CTFd 3.5 submit through this.
CTFd._internal.challenge.submit = function (preview) {
  const body = {
    challenge_id: parseInt(CTFd.lib.$("#challenge-id").val(), 10),
    submission: CTFd.lib.$("#challenge-input").val(),
  };
  return CTFd.api.post_challenge_attempt(preview ? { preview: true } : {}, body);
};
