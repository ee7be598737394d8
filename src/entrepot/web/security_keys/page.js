"use strict";
// Registers, lists and removes the security keys of whoever is signed in, and signs in with one.
// It shows nothing but text: what the registry answers is never read as HTML.

const said = document.getElementById("said").dataset;
const part = (id) => document.getElementById(id);
const state = { token: "", basic: null, removing: null };

class Refused extends Error {
  constructor(status, document) {
    const first = document && document.errors && document.errors[0];
    super(first ? first.message : said.failed);
    this.status = status;
    this.code = first ? first.code : "";
    this.document = document;
  }
}

function bytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function text(buffer) {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function show(id, visible) {
  part(id).hidden = !visible;
}

function say(id, message) {
  part(id).textContent = message;
  show(id, message !== "");
}

async function ask(method, path, headers, body) {
  const answer = await fetch(said.prefix + path, {
    method,
    headers: { "X-Requested-With": "fetch", ...headers },
    body,
    credentials: state.basic === null ? "same-origin" : "omit",
    redirect: "error",
  });
  state.token = answer.headers.get("X-Harbor-CSRF-Token") || state.token;
  const content = await answer.text();
  let document = null;
  try {
    document = content ? JSON.parse(content) : null;
  } catch {
    throw new Refused(answer.status, null);
  }
  if (!answer.ok) throw new Refused(answer.status, document);
  return document;
}

function api(method, path, document) {
  const headers = {};
  if (state.basic !== null) headers.Authorization = state.basic;
  else if (method !== "GET") headers["X-Harbor-CSRF-Token"] = state.token;
  if (document !== undefined) headers["Content-Type"] = "application/json";
  return ask(method, "/api/v2.0/users/current" + path, headers, document && JSON.stringify(document));
}

function basic(name, password) {
  return "Basic " + btoa(String.fromCharCode(...new TextEncoder().encode(`${name}:${password}`)));
}

function known(keys) {
  return keys.map((key) => ({ ...key, id: bytes(key.id) }));
}

// One ceremony of the browser; whatever its owner does, it ends in an answer or in a refusal that says so.
async function ceremony(asking) {
  if (!window.PublicKeyCredential) throw new Error(said.unknown);
  say("news", said.touch);
  try {
    return await asking();
  } catch (error) {
    throw new Error(error.name === "SecurityError" ? said.unknown : `${said.noAnswer} (${error.name})`);
  } finally {
    say("news", "");
  }
}

async function create(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: known(options.excludeCredentials),
  };
  const made = await ceremony(() => navigator.credentials.create({ publicKey }));
  return {
    client_data: text(made.response.clientDataJSON),
    attestation_object: text(made.response.attestationObject),
    transports: made.response.getTransports ? made.response.getTransports() : [],
  };
}

async function sign(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    allowCredentials: known(options.allowCredentials),
  };
  const signed = await ceremony(() => navigator.credentials.get({ publicKey }));
  return new URLSearchParams({
    credential: text(signed.rawId),
    client_data: text(signed.response.clientDataJSON),
    authenticator_data: text(signed.response.authenticatorData),
    signature: text(signed.response.signature),
    user_handle: signed.response.userHandle ? text(signed.response.userHandle) : "",
  });
}

async function signIn(name, password, code) {
  state.basic = null;
  const form = new URLSearchParams({ principal: name, password });
  if (code) form.set("code", code);
  try {
    await ask("POST", "/c/login", {}, form);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === "SECOND_FACTOR_NEEDED") {
      state.basic = basic(name, password);
      return showKeys({ name, password });
    }
    if (error.code !== "CODE_NEEDED") throw error;
    if (!error.document.security_key) throw new Error(said.needCode);
    await ask("POST", "/c/login/key", {}, await sign(error.document.security_key));
  }
  return showKeys(null);
}

function row(key) {
  const item = document.createElement("li");
  const label = document.createElement("b");
  label.textContent = key.name;
  const used = key.last_used ? `${said.used} ${new Date(key.last_used).toLocaleString()}` : said.never;
  const facts = [`${said.added} ${new Date(key.creation_time).toLocaleString()}`, used];
  if (key.backed_up) facts.push(said.backedUp);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = said.remove;
  button.addEventListener("click", () => doing(() => beginRemoval(key)));
  const told = document.createElement("div");
  told.append(label, ` (${key.host}; ${facts.join("; ")})`);
  item.append(told, button);
  return item;
}

// Who is signed in; null for somebody who may do nothing yet but register the key that is required of them.
async function whoever() {
  try {
    return await api("GET", "");
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
}

// `setting` has name and password of such a person where the password alone opens no session; else it is null.
async function showKeys(setting) {
  const keys = await api("GET", "/second_factor/keys");
  state.setting = setting;
  const person = setting === null ? await whoever() : null;
  // Whom a provider vouches for has no password here, and no second factor but the provider's.
  const theirs = person !== null && person.provider.startsWith("oidc:");
  state.keys = keys;
  part("who").textContent = person === null ? "" : person.username;
  part("list").replaceChildren(...keys.map(row));
  show("none", keys.length === 0 && !theirs);
  show("theirs", theirs);
  show("add", !theirs);
  show("must", person === null);
  show("whose", person !== null);
  show("again", setting === null);
  part("add-password").required = setting === null;
  show("remove", false);
  show("sign-in", false);
  show("keys", true);
}

function showSignIn() {
  state.basic = null;
  show("keys", false);
  show("sign-in", true);
}

async function beginRemoval(key) {
  state.removing = key;
  part("removed-key").textContent = key.name;
  const last = state.keys.length === 1;
  const codes = last && (await api("GET", "/second_factor")).one_time_codes;
  say("last", last ? (codes ? said.lastFactor : said.lastKey) : "");
  show("remove", true);
  part("remove-password").focus();
}

async function add(form) {
  const setting = state.setting;
  const password = setting === null ? form.password.value : setting.password;
  const options = await api("POST", "/second_factor/keys", { password });
  const made = await create(options);
  const done = await api("POST", "/second_factor/keys/confirm", { name: form.label.value, ...made });
  part("code-list").replaceChildren(
    ...done.recovery_codes.map((code) => {
      const item = document.createElement("li");
      item.textContent = code;
      return item;
    }),
  );
  part("copy").textContent = said.copy;
  show("codes", done.recovery_codes.length > 0);
  if (setting === null) await showKeys(null);
  else await signIn(setting.name, setting.password, "");
  say("news", said.registered);
}

async function remove(form) {
  await api("POST", `/second_factor/keys/${state.removing.id}/remove`, { password: form.password.value });
  await showKeys(null);
  show("codes", false);
  say("news", said.removed);
}

// Does something once at a time, and says what is wrong where something is.
async function doing(work) {
  if (state.busy) return;
  state.busy = true;
  say("trouble", "");
  say("news", "");
  try {
    await work();
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && !part("keys").hidden && state.setting === null) {
      const signedIn = await api("GET", "").then(() => true, () => false);
      if (!signedIn) showSignIn();
    }
    say("trouble", error.message || said.failed);
  } finally {
    state.busy = false;
  }
}

function on(id, work) {
  part(id).addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    doing(async () => {
      try {
        await work(form);
        form.reset();
      } finally {
        if (form.password) form.password.value = "";
      }
    });
  });
}

on("sign-in", (form) => signIn(form.elements.name.value, form.password.value, form.code.value.trim()));
on("add", add);
on("remove", remove);
on("kept", async () => {
  part("code-list").replaceChildren();
  show("codes", false);
});
part("copy").addEventListener("click", async () => {
  const codes = [...part("code-list").children].map((item) => item.textContent).join("\n");
  try {
    await navigator.clipboard.writeText(codes);
    part("copy").textContent = said.copied;
  } catch {
    // Not allowed here: the codes are selected, to be copied by hand.
    getSelection().selectAllChildren(part("code-list"));
  }
});
part("cancel").addEventListener("click", () => show("remove", false));
part("sign-out").addEventListener("click", () =>
  doing(async () => {
    await ask("POST", "/c/log_out", {});
    show("codes", false);
    showSignIn();
  }),
);
doing(() => showKeys(null).catch((error) => (error.status === 401 ? showSignIn() : Promise.reject(error))));
